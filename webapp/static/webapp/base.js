// What every page does.

import "./focus.js";
import "./theme.js";

// What every page does: pages with a script of their own have it in that.

import "./focus.js";
import "./theme.js";

// What every page does. The scripts of pages that have one include it.

import "./page/failures.js";
import "./page/focus.js";
import "./page/theme.js";

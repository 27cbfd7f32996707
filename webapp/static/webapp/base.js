// What every page does. The scripts of pages that have one include it.

import "./page/focus.js";
import "./page/theme.js";

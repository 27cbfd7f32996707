// What every page does: pages with a script of their own have it in that.

import "./page/focus.js";
import "./page/theme.js";

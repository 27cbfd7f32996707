// Runs before the first paint, so that a chosen theme never flashes the other one.
(() => {
  const CHOICES = ["system", "light", "dark"];
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = "system";
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage may be forbidden; then the choice holds for this page.
  }
  if (!CHOICES.includes(chosen)) chosen = "system";

  const apply = () => {
    const dark = chosen === "system" ? system.matches : chosen === "dark";
    root.dataset.theme = dark ? "dark" : "light";
    root.dataset.themeChoice = chosen;
    dispatchEvent(new Event("themechange"));
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => ["aria-label", "title"].forEach((name) => button.setAttribute(name, `Theme: ${chosen}`));
    say();
    button.addEventListener("click", () => {
      chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
      try {
        localStorage.setItem("theme", chosen);
      } catch {
        // As above.
      }
      say();
      apply();
    });
  });
})();

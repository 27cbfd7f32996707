// The theme: the system's, or one chosen with the button. A cookie keeps it, so that the server sends pages with it.

const CHOICES = ["system", "light", "dark"];
const YEAR = 365 * 86400;
const root = document.documentElement;
const button = document.getElementById("theme");
const chosen = () => root.dataset.theme ?? "system";
const say = () => {
  for (const name of ["aria-label", "title"]) button.setAttribute(name, `Theme: ${chosen()}`);
};
const tell = () => dispatchEvent(new Event("themechange"));

function choose(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  const secure = location.protocol === "https:" ? "; secure" : "";
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API needs a secure address
  document.cookie = `theme=${theme}; path=/; max-age=${YEAR}; samesite=lax${secure}`;
  say();
  tell();
}

say();
button.addEventListener("click", () => choose(CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length]));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);

import { element } from "./elements.ts";

/** The web UI stores its choice here, too. */
const key = "mantine-color-scheme-value";

/** Switches between light and dark, for the help and the web UI. */
export function connectSchemeButton(): void {
  const button = element("scheme", HTMLButtonElement);
  const root = document.documentElement;
  const show = (scheme: string) => {
    root.setAttribute("data-mantine-color-scheme", scheme);
    button.textContent = scheme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Use ${scheme === "dark" ? "light" : "dark"} colours`);
  };
  show(root.getAttribute("data-mantine-color-scheme") ?? "light");
  button.hidden = false;
  button.addEventListener("click", () => {
    const scheme = root.getAttribute("data-mantine-color-scheme") === "dark" ? "light" : "dark";
    show(scheme);
    try {
      localStorage.setItem(key, scheme);
    } catch {
      // Without storage, the choice holds for this page only.
    }
  });
}

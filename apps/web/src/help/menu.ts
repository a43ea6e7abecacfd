import { element } from "./elements.ts";

/** The button that opens the list of pages on narrow screens. */
export function connectMenu(): void {
  const button = element("menu", HTMLButtonElement);
  const pages = element("pages", HTMLElement);
  document.documentElement.classList.add("script");
  button.hidden = false;
  const open = (opened: boolean) => {
    button.setAttribute("aria-expanded", String(opened));
    pages.classList.toggle("opened", opened);
  };
  button.addEventListener("click", () => open(button.getAttribute("aria-expanded") !== "true"));
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || button.getAttribute("aria-expanded") !== "true") return;
    open(false);
    button.focus();
  });
}

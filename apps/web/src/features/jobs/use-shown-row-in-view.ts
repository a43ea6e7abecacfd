import { type RefObject, useLayoutEffect, useRef } from "react";

/** The shown row is put at this part of the panel's height, so that the rows before and after it are visible, too. */
const placeInPanel = 1 / 3;

/** What else scrolls when the page opens: nothing, the page as far as the row needs, or the timeline to the page's top. */
type PageScroll = "none" | "to-row" | "to-timeline";

/** Scrolls the timeline to the row whose log is shown, whenever another row is. */
export function useShownRowInView(
  panel: RefObject<HTMLElement | null>,
  shownRow: string,
  pageScroll: PageScroll,
): void {
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the reader's own scrolling counts until another row is shown
  useLayoutEffect(() => {
    const row = panel.current?.querySelector<HTMLElement>("[aria-current]");
    if (!panel.current || !row) return;
    const isFirst = first.current;
    first.current = false;
    const frame = panel.current.getBoundingClientRect();
    const place = row.getBoundingClientRect();
    if (place.top < frame.top || place.bottom > frame.bottom) {
      panel.current.scrollTop += place.top - frame.top - frame.height * placeInPanel;
    }
    // A page that is already scrolled was reached by the browser's history, or the reader has begun to read.
    if (!isFirst || pageScroll === "none" || window.scrollY > 0) return;
    if (pageScroll === "to-row") row.scrollIntoView({ block: "nearest" });
    else panel.current.scrollIntoView({ block: "start" });
  }, [shownRow]);
}

import { search, searchKeymap } from "@codemirror/search";
import { EditorState, RangeSetBuilder, Text as TextDocument } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, GutterMarker, gutter, keymap, ViewPlugin } from "@codemirror/view";
import { Group, Select, Text as Words } from "@mantine/core";
import { useEffect, useMemo, useRef } from "react";
import { type DiffLine, filesOf, parseDiff } from "./diff-lines.ts";
import classes from "./diff-viewer.module.css";

/** A unified diff. Only the lines in view are in the page, so a diff may have a hundred thousand. */
export default function DiffViewer({ diff }: { readonly diff: string }) {
  const lines = useMemo(() => parseDiff(diff), [diff]);
  const files = useMemo(() => filesOf(lines), [lines]);
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);

  useEffect(() => {
    if (!place.current) return;
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({ doc: TextDocument.of(lines.map(({ text }) => text)), extensions: viewerOf(lines) }),
    });
    view.current = made;
    return () => made.destroy();
  }, [lines]);

  const goTo = (line: number) => {
    const { current } = view;
    if (!current) return;
    const { from } = current.state.doc.line(line + 1);
    current.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "start" }) });
    current.focus();
  };
  const count = (kind: DiffLine["kind"]) => lines.filter((line) => line.kind === kind).length.toLocaleString("en");
  return (
    <section className={classes.diff} aria-label="Workspace diff">
      <Group gap="sm" px="sm" py={6} className={classes.bar ?? ""}>
        <Words size="sm" c="dimmed">
          {files.length.toLocaleString("en")} {files.length === 1 ? "file" : "files"}, {count("added")} lines added,{" "}
          {count("removed")} removed
        </Words>
        {files.length > 1 && (
          <Select
            size="xs"
            className={classes.files ?? ""}
            aria-label="Go to a file"
            placeholder="Go to a file"
            searchable
            limit={200}
            value={null}
            data={files.map(({ name, line }) => ({ value: String(line), label: name }))}
            onChange={(line) => line !== null && goTo(Number(line))}
          />
        )}
      </Group>
      <div ref={place} className={classes.place} />
    </section>
  );
}

function viewerOf(lines: readonly DiffLine[]) {
  const lookOf = (kind: DiffLine["kind"]) => Decoration.line({ attributes: { "data-kind": kind } });
  const looks = {
    file: lookOf("file"),
    header: lookOf("header"),
    hunk: lookOf("hunk"),
    added: lookOf("added"),
    removed: lookOf("removed"),
    context: lookOf("context"),
  } as const satisfies Record<DiffLine["kind"], Decoration>;
  const looksInView = ({ viewport, state }: EditorView): DecorationSet => {
    const builder = new RangeSetBuilder<Decoration>();
    for (let at = viewport.from; at <= viewport.to; ) {
      const { from, to, number } = state.doc.lineAt(at);
      builder.add(from, from, looks[lines[number - 1]?.kind ?? "context"]);
      at = to + 1;
    }
    return builder.finish();
  };
  const largest = lines.reduce((most, { before = 0, after = 0 }) => Math.max(most, before, after), 0);
  const numbers = (side: "before" | "after") =>
    gutter({
      class: classes.numbers ?? "",
      lineMarker: ({ state }, { from }) => {
        const number = lines[state.doc.lineAt(from).number - 1]?.[side];
        return number === undefined ? null : new LineNumber(number);
      },
      initialSpacer: () => new LineNumber(largest),
    });
  return [
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    EditorView.contentAttributes.of({ tabindex: "0", "aria-label": "Lines of the diff" }),
    numbers("before"),
    numbers("after"),
    ViewPlugin.define(
      (view) => ({
        looks: looksInView(view),
        update(change) {
          if (change.viewportChanged) this.looks = looksInView(change.view);
        },
      }),
      { decorations: ({ looks: shown }) => shown },
    ),
    search({ top: true }),
    keymap.of(searchKeymap),
  ];
}

class LineNumber extends GutterMarker {
  private readonly number: number;

  constructor(number: number) {
    super();
    this.number = number;
  }

  override eq(other: GutterMarker): boolean {
    return other instanceof LineNumber && other.number === this.number;
  }

  override toDOM(): Text {
    return document.createTextNode(String(this.number));
  }
}

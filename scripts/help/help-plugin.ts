import path from "node:path";
import type { Plugin } from "vite";
import { root } from "../programs/run.ts";
import { findProblems } from "./find-problems.ts";
import { readDocuments } from "./read-documents.ts";
import { type PageAssets, renderMissingPage, renderPage } from "./render-page.ts";
import { searchSections } from "./search-sections.ts";

const client = path.join(root, "apps/web/src/help");

/** Adds the documentation site to the build of the web UI: one file per page in `help-pages/`. */
export function helpPlugin(): Plugin {
  let script: string;
  return {
    name: "airlock-help",
    apply: "build",
    buildStart() {
      script = this.emitFile({ type: "chunk", id: path.join(client, "help.ts"), name: "help" });
    },
    generateBundle(_options, bundle) {
      const documents = readDocuments(root);
      const problems = findProblems(documents, root);
      if (problems.length > 0) this.error(problems.join("\n"));
      const source = JSON.stringify(searchSections(documents));
      const sections = this.emitFile({ type: "asset", name: "help-sections.json", source });
      const file = this.getFileName(script);
      const chunk = bundle[file];
      const style = chunk?.type === "chunk" ? [...(chunk.viteMetadata?.importedCss ?? [])][0] : undefined;
      if (style === undefined) this.error("the documentation site has no style sheet");
      const assets: PageAssets = {
        script: `/${file}`,
        style: `/${style}`,
        sections: `/${this.getFileName(sections)}`,
      };
      const emit = (name: string, page: string) =>
        this.emitFile({ type: "asset", fileName: `help-pages/${name}.html`, source: page });
      for (const document of documents) {
        emit(document.slug === "" ? "index" : document.slug, renderPage(documents, document, assets, root));
      }
      emit("404", renderMissingPage(documents, assets));
    },
  };
}

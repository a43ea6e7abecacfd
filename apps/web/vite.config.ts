import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { helpPlugin } from "../../scripts/help/help-plugin.ts";

const instance = "http://127.0.0.1:7080";

export default defineConfig({
  plugins: [react(), helpPlugin()],
  // The instance serves the pages with `default-src 'self'`, which blocks assets inlined as data URLs.
  build: {
    assetsInlineLimit: 0,
    target: "es2022",
    chunkSizeWarningLimit: 700,
    rolldownOptions: { output: { strictExecutionOrder: true } },
  },
  server: { proxy: { "/api": instance, "/healthz": instance, "/help": instance } },
});

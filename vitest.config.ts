import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{packages,apps}/*/src/**/*.test.{ts,tsx}", "scripts/**/*.test.ts", "{bench,chaos}/src/**/*.test.ts"],
    globalSetup: ["packages/test-kit/src/engines/global-setup.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});

import { createBrowserRouter, redirect } from "react-router";
import { AppLayout } from "./layout/app-layout.tsx";
import { LoginPage } from "./routes/login-page.tsx";
import { NotFoundPage } from "./routes/not-found-page.tsx";
import { RouteErrorPage } from "./routes/route-error-page.tsx";

/** While the first page's program loads. */
function Nothing() {
  return null;
}

export function createRouter() {
  return createBrowserRouter([
    { path: "/login", Component: LoginPage, ErrorBoundary: RouteErrorPage },
    {
      path: "/",
      Component: AppLayout,
      ErrorBoundary: RouteErrorPage,
      HydrateFallback: Nothing,
      children: [
        { index: true, loader: () => redirect("/jobs") },
        { path: "jobs", lazy: async () => ({ Component: (await import("./routes/jobs-page.tsx")).JobsPage }) },
        { path: "jobs/:id", lazy: async () => ({ Component: (await import("./routes/job-page.tsx")).JobPage }) },
        {
          path: "executors",
          lazy: async () => ({ Component: (await import("./routes/executors-page.tsx")).ExecutorsPage }),
        },
        { path: "queues", lazy: async () => ({ Component: (await import("./routes/queues-page.tsx")).QueuesPage }) },
        {
          path: "repositories",
          lazy: async () => ({ Component: (await import("./routes/repositories-page.tsx")).RepositoriesPage }),
        },
        { path: "secrets", lazy: async () => ({ Component: (await import("./routes/secrets-page.tsx")).SecretsPage }) },
        { path: "submit", lazy: async () => ({ Component: (await import("./routes/submit-page.tsx")).SubmitPage }) },
        { path: "*", Component: NotFoundPage },
      ],
    },
  ]);
}

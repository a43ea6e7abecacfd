import { createBrowserRouter, redirect } from "react-router";
import { LoginPage } from "../pages/login-page.tsx";
import { NotFoundPage } from "../pages/not-found-page.tsx";
import { RouteErrorPage } from "../pages/route-error-page.tsx";
import { AppLayout } from "./app-layout.tsx";

/** Shown while the code of the first page loads. */
function Nothing() {
  return null;
}

export function createRouter() {
  return createBrowserRouter([
    { path: "/login", Component: LoginPage, ErrorBoundary: RouteErrorPage },
    {
      path: "/password",
      ErrorBoundary: RouteErrorPage,
      HydrateFallback: Nothing,
      lazy: async () => ({ Component: (await import("../pages/password-page.tsx")).PasswordPage }),
    },
    {
      path: "/setup",
      ErrorBoundary: RouteErrorPage,
      HydrateFallback: Nothing,
      lazy: async () => ({ Component: (await import("../pages/setup-page.tsx")).SetupPage }),
    },
    {
      path: "/",
      Component: AppLayout,
      ErrorBoundary: RouteErrorPage,
      HydrateFallback: Nothing,
      children: [
        { index: true, loader: () => redirect("/jobs") },
        { path: "jobs", lazy: async () => ({ Component: (await import("../pages/jobs-page.tsx")).JobsPage }) },
        { path: "jobs/:id", lazy: async () => ({ Component: (await import("../pages/job-page.tsx")).JobPage }) },
        {
          path: "executors",
          lazy: async () => ({ Component: (await import("../pages/executors-page.tsx")).ExecutorsPage }),
        },
        { path: "queues", lazy: async () => ({ Component: (await import("../pages/queues-page.tsx")).QueuesPage }) },
        {
          path: "repositories",
          lazy: async () => ({ Component: (await import("../pages/repositories-page.tsx")).RepositoriesPage }),
        },
        { path: "secrets", lazy: async () => ({ Component: (await import("../pages/secrets-page.tsx")).SecretsPage }) },
        {
          path: "organizations",
          lazy: async () => ({ Component: (await import("../pages/organizations-page.tsx")).OrganizationsPage }),
        },
        {
          path: "organizations/:name",
          lazy: async () => ({ Component: (await import("../pages/organization-page.tsx")).OrganizationPage }),
        },
        { path: "users", lazy: async () => ({ Component: (await import("../pages/users-page.tsx")).UsersPage }) },
        { path: "users/:name", lazy: async () => ({ Component: (await import("../pages/user-page.tsx")).UserPage }) },
        { path: "account", lazy: async () => ({ Component: (await import("../pages/account-page.tsx")).AccountPage }) },
        { path: "connect", lazy: async () => ({ Component: (await import("../pages/connect-page.tsx")).ConnectPage }) },
        { path: "audit", lazy: async () => ({ Component: (await import("../pages/audit-page.tsx")).AuditPage }) },
        {
          path: "executor-tokens",
          lazy: async () => ({ Component: (await import("../pages/executor-tokens-page.tsx")).ExecutorTokensPage }),
        },
        { path: "submit", lazy: async () => ({ Component: (await import("../pages/submit-page.tsx")).SubmitPage }) },
        { path: "*", Component: NotFoundPage },
      ],
    },
  ]);
}

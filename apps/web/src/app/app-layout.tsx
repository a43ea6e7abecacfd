import type { SessionView } from "@airlock/api";
import { ActionIcon, AppShell, Box, Burger, Button, Group, Loader, Menu, NavLink, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  type Icon,
  IconBuilding,
  IconFolders,
  IconHelpCircle,
  IconHistory,
  IconKey,
  IconKeyboard,
  IconLogout,
  IconPlus,
  IconServer2,
  IconShieldLock,
  IconStack2,
  IconTerminal2,
  IconUserCircle,
  IconUserPlus,
  IconUsers,
} from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect } from "react";
import { Link, Outlet, useLocation, useNavigate } from "react-router";
import { deleteSession, getSession } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { Announcer } from "../ui/announcer.tsx";
import { helpPlaces } from "../ui/help-link.tsx";
import { useShortcuts } from "../ui/keyboard/use-shortcuts.ts";
import { Logo } from "../ui/logo.tsx";
import { ColorSchemeSwitch } from "./color-scheme-switch.tsx";
import { LiveIndicator } from "./live-indicator.tsx";
import { SessionGuard } from "./session-guard.tsx";
import { ShortcutDialog } from "./shortcut-dialog.tsx";

const pages = [
  { path: "/jobs", label: "Jobs", icon: IconTerminal2 },
  { path: "/queues", label: "Queues", icon: IconStack2 },
  { path: "/repositories", label: "Repositories", icon: IconFolders },
  { path: "/secrets", label: "Secrets", icon: IconKey },
  { path: "/organizations", label: "Organizations", icon: IconBuilding },
] as const;

/** Only for administrators. */
const administration = [
  { path: "/executors", label: "Executors", icon: IconServer2 },
  { path: "/users", label: "Users", icon: IconUsers },
  { path: "/executor-tokens", label: "Executor tokens", icon: IconShieldLock },
  { path: "/audit", label: "Audit log", icon: IconHistory },
] as const;

/** The frame of every page. */
export function AppLayout() {
  return (
    <>
      <SessionGuard />
      <Shell />
    </>
  );
}

/** Navigation, colour scheme, shortcuts. */
function Shell() {
  const [menuOpened, menu] = useDisclosure(false);
  const [helpOpened, help] = useDisclosure(false);
  const location = useLocation();
  const navigate = useNavigate();
  const session = useQuery({ queryKey: queryKeys.session, queryFn: ({ signal }) => getSession({ signal }) });

  // biome-ignore lint/correctness/useExhaustiveDependencies: closes the menu of narrow screens after navigation
  useEffect(() => menu.close(), [location.pathname]);

  const go = (path: string) => () => void navigate(path);
  useShortcuts({
    "?": help.open,
    "g j": go("/jobs"),
    "g e": go("/executors"),
    "g q": go("/queues"),
    "g r": go("/repositories"),
    "g s": go("/secrets"),
    c: go("/submit"),
  });

  if (session.data === undefined && !session.isError) return <Waiting />;
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 208, breakpoint: "sm", collapsed: { mobile: !menuOpened } }}
      padding={{ base: "sm", sm: "lg" }}
    >
      <AppShell.Header bg="var(--airlock-surface)">
        <a className="skip-link" href="#main">
          Skip to the content
        </a>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap">
            <Burger opened={menuOpened} onClick={menu.toggle} hiddenFrom="sm" size="sm" aria-label="Navigation" />
            <Link to="/jobs" style={{ textDecoration: "none", color: "inherit" }}>
              <Group gap={8} wrap="nowrap">
                <Logo />
                <Text fw={700} size="lg" lh={1}>
                  airlock
                </Text>
              </Group>
            </Link>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <LiveIndicator />
            <Button component={Link} to="/submit" size="xs" leftSection={<IconPlus size={16} />} visibleFrom="xs">
              New job
            </Button>
            <Tooltip label="Keyboard shortcuts (?)" withArrow>
              <ActionIcon
                variant="subtle"
                color="gray"
                size="lg"
                onClick={help.open}
                aria-label="Keyboard shortcuts"
                visibleFrom="sm"
              >
                <IconKeyboard size={20} stroke={1.6} />
              </ActionIcon>
            </Tooltip>
            <ColorSchemeSwitch />
            <SessionMenu session={session.data} />
          </Group>
        </Group>
      </AppShell.Header>

      <AppShell.Navbar p="sm" bg="var(--airlock-surface)" aria-label="Main">
        {[...pages, { path: "/submit", label: "New job", icon: IconPlus } as const].map((page) => (
          <PageLink key={page.path} {...page} />
        ))}
        {session.data?.role === "administrator" && (
          <section aria-labelledby="administration">
            <Text id="administration" size="xs" fw={600} c="dimmed" px="sm" mt="md" mb={4}>
              Administration
            </Text>
            {administration.map((page) => (
              <PageLink key={page.path} {...page} />
            ))}
          </section>
        )}
        <NavLink
          component="a"
          href={helpPlaces.start}
          target="_blank"
          rel="noopener"
          label={
            <>
              Help<span className="visually-hidden"> (opens in a new tab)</span>
            </>
          }
          leftSection={<IconHelpCircle size={19} stroke={1.6} />}
          style={{ borderRadius: "var(--mantine-radius-md)" }}
          mt="md"
        />
      </AppShell.Navbar>

      <AppShell.Main id="main" tabIndex={-1} style={{ outline: "none" }}>
        <Suspense fallback={<Waiting />}>
          <Outlet />
        </Suspense>
      </AppShell.Main>
      <Announcer />
      <ShortcutDialog opened={helpOpened} onClose={help.close} />
    </AppShell>
  );
}

interface PageLinkProps {
  readonly path: string;
  readonly label: string;
  readonly icon: Icon;
}

function PageLink({ path, label, icon: Picture }: PageLinkProps) {
  const location = useLocation();
  const current = location.pathname === path || location.pathname.startsWith(`${path}/`);
  return (
    <NavLink
      component={Link}
      to={path}
      label={label}
      leftSection={<Picture size={19} stroke={1.6} />}
      active={current}
      aria-current={current ? "page" : undefined}
      style={{ borderRadius: "var(--mantine-radius-md)" }}
      mb={2}
    />
  );
}

function SessionMenu({ session }: { readonly session: SessionView | undefined }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const logOut = useMutation({
    mutationFn: deleteSession,
    onSuccess: async () => {
      await navigate("/login", { replace: true });
      client.clear();
    },
  });
  return (
    <Menu position="bottom-end" withArrow>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Session">
          <IconUserCircle size={20} stroke={1.6} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {session?.user?.name ?? "Administrator"}
          {session && ` · airlock ${session.version}`}
        </Menu.Label>
        {session?.user && (
          <Menu.Item component={Link} to="/account" leftSection={<IconUserCircle size={16} />}>
            Account
          </Menu.Item>
        )}
        {session?.needsSetUp && (
          <Menu.Item component={Link} to="/setup" leftSection={<IconUserPlus size={16} />}>
            Create the first administrator
          </Menu.Item>
        )}
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => logOut.mutate()}>
          Log out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function Waiting() {
  return (
    <Box p="xl" ta="center">
      <Loader type="dots" aria-label="Loading" />
    </Box>
  );
}

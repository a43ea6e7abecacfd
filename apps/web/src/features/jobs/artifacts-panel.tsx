import type { ArtifactView, JobView } from "@airlock/api";
import { formatBytes } from "@airlock/job";
import { Button, Loader, Paper, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDownload, IconFileDiff, IconFileZip } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { artifactPath, readArtifactText } from "../../api-client/endpoints.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { ArchiveFiles } from "./archive-files.tsx";
import classes from "./artifacts-panel.module.css";

// Most pages of jobs show no diff, so the viewer is not part of them.
const DiffViewer = lazy(() => import("../diffs/diff-viewer.tsx"));

/** A page is not suited to larger diffs; they can be downloaded. */
const shownBytes = 16 * 1024 * 1024;

/** The artifacts of an attempt, to download. A diff can also be shown, and an archive be looked through. */
export function ArtifactsPanel({ job, attempt }: { readonly job: JobView; readonly attempt: number }) {
  const artifacts = job.artifacts.filter((artifact) => artifact.attempt === attempt);
  if (artifacts.length === 0) return null;
  return (
    <Paper component="section" withBorder bg="var(--airlock-surface)" aria-label="Artifacts">
      {artifacts.map((artifact) => (
        <Artifact key={artifact.id} job={job.id} artifact={artifact} />
      ))}
    </Paper>
  );
}

function Artifact({ job, artifact }: { readonly job: number; readonly artifact: ArtifactView }) {
  const [opened, { toggle }] = useDisclosure(false);
  const Picture = artifact.kind === "diff" ? IconFileDiff : IconFileZip;
  return (
    <>
      <div className={classes.row}>
        <Picture size={18} stroke={1.6} aria-hidden />
        <span className={classes.name}>{artifact.name}</span>
        <span className={classes.detail} title={`SHA-256 ${artifact.sha256}`}>
          {formatBytes(artifact.bytes)}
        </span>
        <span className={classes.actions}>
          <Button size="compact-sm" variant="subtle" onClick={toggle} aria-expanded={opened}>
            {`${opened ? "Hide" : "Show"} the ${artifact.kind === "diff" ? "diff" : "files"}`}
          </Button>
          <Button
            component="a"
            href={artifactPath(job, artifact.id)}
            download
            size="compact-sm"
            variant="default"
            leftSection={<IconDownload size={14} aria-hidden />}
            aria-label={`Download ${artifact.name}`}
          >
            Download
          </Button>
        </span>
      </div>
      {opened && artifact.kind === "diff" && <Diff job={job} artifact={artifact} />}
      {opened && artifact.kind === "file-archive" && <ArchiveFiles job={job} artifact={artifact} />}
    </>
  );
}

function Diff({ job, artifact }: { readonly job: number; readonly artifact: ArtifactView }) {
  const { data, error } = useQuery({
    queryKey: ["artifact", job, artifact.id],
    queryFn: ({ signal }) => readArtifactText(job, artifact.id, shownBytes, { signal }),
    // Stored artifacts never change.
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (error) return <ErrorPanel title="The diff could not be loaded" error={error} />;
  if (data === undefined) return <Loader type="dots" m="sm" aria-label="Loading" />;
  return (
    <>
      <Suspense fallback={<Loader type="dots" m="sm" aria-label="Loading" />}>
        <DiffViewer diff={data} />
      </Suspense>
      {artifact.bytes > shownBytes && (
        <Text size="sm" c="dimmed" px="sm" py={6}>
          The rest of the diff is in the download.
        </Text>
      )}
    </>
  );
}

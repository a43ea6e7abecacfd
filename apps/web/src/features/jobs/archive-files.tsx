import type { ArchiveEntry, ArtifactView } from "@airlock/api";
import { formatBytes } from "@airlock/job";
import { Loader, Text, TextInput } from "@mantine/core";
import { IconArrowForward, IconFile, IconFolder, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { listArchive } from "../../api-client/endpoints.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { visibleText } from "../../ui/visible-text.ts";
import classes from "./archive-files.module.css";

/** More rows would slow the page down. The filter finds the others. */
const shownEntries = 500;

/** What is in an archive, to look through. Names come from the job, so hidden characters are shown escaped. */
export function ArchiveFiles({ job, artifact }: { readonly job: number; readonly artifact: ArtifactView }) {
  const [text, setText] = useState("");
  const { data, error } = useQuery({
    queryKey: ["artifact", job, artifact.id, "files"],
    queryFn: ({ signal }) => listArchive(job, artifact.id, { signal }),
    // Stored artifacts never change.
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (error) return <ErrorPanel title="The archive could not be listed" error={error} />;
  if (data === undefined) return <Loader type="dots" m="sm" aria-label="Loading" />;
  const wanted = text.toLowerCase();
  const found = data.entries.filter(({ path }) => path.toLowerCase().includes(wanted));
  const words = found.length === 1 ? "1 entry" : `${found.length.toLocaleString("en")} entries`;
  return (
    <section className={classes.files} aria-label={`Files in ${artifact.name}`}>
      {data.format === null ? (
        <Text size="sm" c="dimmed">
          This is not a zip, tar or tar.gz archive, so its content can't be listed.
        </Text>
      ) : (
        <>
          <div className={classes.bar}>
            <TextInput
              size="xs"
              w={220}
              aria-label="Find files by name"
              placeholder="Find files"
              leftSection={<IconSearch size={14} />}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
            />
            <Text size="sm" c="dimmed" role="status">
              {words}
              {found.length > shownEntries && `, the first ${shownEntries} are shown`}
            </Text>
          </div>
          {data.problem !== null && (
            <Text size="sm" c="orange" className={classes.problem ?? ""}>
              The list is not complete: {visibleText(data.problem)}.
            </Text>
          )}
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: scrollable content must be reachable by keyboard */}
          <ul className={classes.list} tabIndex={0}>
            {found.slice(0, shownEntries).map((entry, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: an archive may have several entries of one name
              <Entry key={index} entry={entry} />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

const pictures = { file: IconFile, directory: IconFolder, link: IconArrowForward, other: IconFile } as const;

function Entry({ entry: { path, kind, bytes, linkTarget } }: { readonly entry: ArchiveEntry }) {
  const Picture = pictures[kind];
  return (
    <li className={classes.entry}>
      <Picture size={15} stroke={1.6} aria-label={kind} className={classes.picture} />
      <span className={classes.path}>
        {visibleText(path)}
        {linkTarget !== undefined && <span className={classes.target}> → {visibleText(linkTarget)}</span>}
      </span>
      {kind === "file" && <span className={classes.bytes}>{formatBytes(bytes)}</span>}
    </li>
  );
}

/** A spec with most fields. */
export const exampleSpec = `version: 2
name: bump-logger
description: Replace the old logger
on:
  - repositoriesMatchingQuery: old-logger lang:go
  - repository: git.example/acme/core
    branches: [main, release-1]
workspaces:
  - rootAtLocationOf: go.mod
    in: git.example/acme/*
    onlyFetchWorkspace: true
steps:
  - run: tool --repo "\${{ repository.name }}" \${{ join repository.search_result_paths " " }}
    container: golang:1.22-alpine
    env:
      - GOPROXY
      - MODE: fast
    files:
      /etc/tool.json: '{"branch": "\${{ repository.branch }}"}'
    mount:
      - path: ./tool.sh
        mountpoint: /usr/local/bin/tool
    outputs:
      summary: {value: "\${{ step.stdout }}", format: json}
  - if: \${{ matches repository.name "git.example/acme/*" }}
    run: go mod tidy
    container: golang:1.22-alpine
transformChanges:
  group:
    - directory: services/a
      branch: bump-logger-a
changesetTemplate:
  title: "Logger: \${{ outputs.summary.count }} call sites"
  body: "See \${{ batch_change_link }}"
  branch: bump-logger
  commit:
    message: Replace logger
    author: {name: Bot, email: bot@example.com}
  published:
    - git.example/acme/*: draft
    - git.example/acme/core@bump-logger-a: true
`;

/** The shortest spec with a step. `step` and `rest` are added to it, with their indentation. */
export function shortSpec(step = "", rest = ""): string {
  return `name: short
on:
  - repository: git.example/a
steps:
  - run: "true"
    container: alpine
${step}changesetTemplate:
  title: t
  branch: b
  commit: {message: m}
${rest}`;
}

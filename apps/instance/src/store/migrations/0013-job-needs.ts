import type { Migration } from "./index.ts";

export const jobNeeds: Migration = {
  id: 13,
  name: "job-needs",
  sql: `
-- Features that a job needs beyond the base protocol. Executors that don't support them don't get the job.
alter table jobs add column needs jsonb not null default '[]';
update jobs set needs = (
  select coalesce(jsonb_agg(need), '[]') from (values
    ('egress', spec ? 'egress'),
    ('timeout', spec ? 'timeout'),
    ('resources', coalesce(spec -> 'resources', '{}') <> '{}'),
    ('checkout', coalesce(spec -> 'checkout', '{}') not in ('{}', '{"depth": 1, "tags": false, "paths": []}')),
    ('outputs', coalesce(spec -> 'outputs', '[]') <> '[]'),
    ('diff', coalesce((spec -> 'diff')::boolean, false)),
    ('secret files', jsonb_path_exists(spec, '$.steps[*].secrets[*] ? (@.file == true)')),
    ('image: host', jsonb_path_exists(spec, '$.steps[*] ? (@.image == "host")')),
    ('#! lines for other interpreters', jsonb_path_exists(spec,
      '$.steps[*] ? (
        (@.run like_regex "^#!"
          && !(@.run like_regex "^#! *([^ ]*/env +)?([^ ]*/)?(ba|da)?sh( +-[aefnuvxC]+)? *([[:cntrl:]]|$)"))
        || (@.commands[0] like_regex "^#!"
          && !(@.commands[0] like_regex "^#! *([^ ]*/env +)?([^ ]*/)?(ba|da)?sh( +-[aefnuvxC]+)? *([[:cntrl:]]|$)")))'))
  ) as asked (need, present) where present
);
-- A job's lane is computed from its demands, which now include these features.
alter table jobs drop column lane;
alter table jobs add column lane uuid not null generated always as (
  md5(namespace || ' ' || labels::text || ' ' || coalesce(cpu_millis::text, '-') || ' ' ||
    coalesce(memory_bytes::text, '-') || ' ' || coalesce(disk_bytes::text, '-') || ' ' || needs::text)::uuid
) stored;
create index jobs_dequeue on jobs (queue, lane, priority desc, turn, id) where state = 'queued';
-- Whether executors may take jobs although they don't support a feature that the job needs.
alter table queues add column allow_unenforced boolean not null default false;
-- Executors of the base protocol do not report their slots.
alter table executors alter column slots drop not null;
update executors set slots = null where not airlock;
`,
};

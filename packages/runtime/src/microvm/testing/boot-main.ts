// Boots a machine as another process would, for a test that kills this process. Arguments: the plan and QEMU's path.
import { QemuMonitor } from "../monitor/qemu/qemu-monitor.ts";

const [plan = "", program = ""] = process.argv.slice(2);
const monitor = new QemuMonitor({
  program,
  accelerator: "tcg",
  kvmGroup: null,
  ids: null,
  networks: null,
  cgroups: null,
});
const vm = await monitor.boot(JSON.parse(plan), { signal: AbortSignal.timeout(60_000) });
console.log("booted");
await vm.ended;

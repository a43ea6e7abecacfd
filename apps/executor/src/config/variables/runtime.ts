import { z } from "zod";
import { flag, wholeNumber } from "../values/environment-values.ts";

/** The default of the protocol: 500 MiB/s. */
const defaultBandwidth = 524_288_000;
const bandwidth = wholeNumber(defaultBandwidth, 1, 2 ** 40);

const absolutePath = (program: string) =>
  z
    .string()
    .regex(/^\/[^\0]+$/, `must be the absolute path of ${program}`)
    .optional();

/** The runtime. */
export const runtimeVariables = {
  EXECUTOR_RUNTIME: z
    .enum(["auto", "docker", "oci", "microvm", "kubernetes"], {
      error: "must be auto, docker, oci, microvm or kubernetes",
    })
    .default("auto")
    .meta({
      description:
        "What isolates steps. `auto`: a Docker engine if one answers, else an OCI runtime if one is installed; in a pod without DOCKER_HOST and with EXECUTOR_KUBERNETES_AGENT_IMAGE, Kubernetes. `microvm`: a virtual machine for each job, see docs/microvm.md. `kubernetes`: a pod for each job, see docs/kubernetes.md.",
    }),
  EXECUTOR_DOCKER_RUNTIME: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "must be the engine's name for an OCI runtime, e.g. runsc")
    .optional()
    .meta({
      description: "The OCI runtime that the Docker engine runs containers with, e.g. runsc for gVisor.",
      default: "the engine's own default",
      values: "a name of `runtimes` in the engine's daemon.json",
    }),
  EXECUTOR_OCI_RUNTIME: z
    .string()
    .regex(/^(?:crun|runc|runsc|\/[^\0]+)$/, "must be crun, runc, runsc, or the absolute path of one of them")
    .optional()
    .meta({
      description: "The program of the oci runtime.",
      default: "crun, else runc",
      values: "`crun`, `runc`, `runsc`, or an absolute path",
    }),
  EXECUTOR_RUNSC_PLATFORM: z
    .string()
    .regex(/^[a-z]{1,20}$/, "must be a platform of gVisor, e.g. systrap, ptrace or kvm")
    .optional()
    .meta({
      description: "How gVisor catches system calls.",
      default: "runsc's own",
      values: "a platform of gVisor, e.g. `systrap`, `ptrace`, `kvm`",
    }),
  EXECUTOR_RUNSC_NETWORK: z
    .enum(["host", "sandbox"], { error: "must be host or sandbox" })
    .default("host")
    .meta({ description: "Whether gVisor uses the kernel's network stack (`host`) or its own (`sandbox`)." }),
  EXECUTOR_VM_MONITOR: z
    .enum(["auto", "firecracker", "qemu"], { error: "must be auto, firecracker or qemu" })
    .default("auto")
    .meta({
      description:
        "What runs the virtual machines of the microvm runtime. `auto`: Firecracker if it boots a guest on this machine, else QEMU.",
    }),
  EXECUTOR_VM_ACCELERATOR: z.enum(["auto", "kvm", "tcg"], { error: "must be auto, kvm or tcg" }).default("auto").meta({
    description:
      "What runs the instructions of virtual machines: the processor (`kvm`), or QEMU's emulation (`tcg`), which is many times slower. `auto`: KVM if a guest boots with it.",
  }),
  EXECUTOR_FIRECRACKER: absolutePath("firecracker").meta({
    description: "Firecracker, 1.17 or later and statically linked, as its releases are.",
    default: "firecracker on the system's search path",
    values: "an absolute path",
  }),
  EXECUTOR_JAILER: absolutePath("jailer").meta({
    description: "The jailer of the same release of Firecracker.",
    default: "jailer on the system's search path",
    values: "an absolute path",
  }),
  EXECUTOR_QEMU: absolutePath("qemu-system-x86_64").meta({
    description: "QEMU, which runs virtual machines where Firecracker can't or is not wanted.",
    default: "qemu-system-x86_64 on the system's search path",
    values: "an absolute path",
  }),
  EXECUTOR_VM_PREFIX: z
    .string()
    .regex(
      /^(?=.{1,20}$)[a-z0-9]+(?:-+[a-z0-9]+)*$/,
      "must be lower-case letters, digits and hyphens, at most 20, such as executor or build-a",
    )
    .default("executor")
    .meta({
      description: "Begins the names of virtual machines, as `ps` shows them.",
      values: "`[a-z0-9-]`, at most 20 characters",
    }),
  EXECUTOR_VM_STARTUP_SCRIPT_PATH: z
    .string()
    .regex(/^\/[^\0]+$/, "must be an absolute path")
    .optional()
    .meta({
      description:
        "A shell script that runs as root in each virtual machine, before the job's first step. A job whose script fails is retried by another executor. See docs/microvm.md.",
      default: "none",
      values: "an absolute path",
    }),
  EXECUTOR_VM_POOL_SIZE: wholeNumber(1, 0, 32).meta({
    description:
      "How many virtual machines of the microvm runtime wait for jobs, see docs/microvm.md. 0: each job starts its own.",
  }),
  EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS: bandwidth.meta({
    description: "How much a virtual machine of the microvm runtime may receive, in bytes per second.",
  }),
  EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS: bandwidth.meta({
    description: "How much a virtual machine of the microvm runtime may send, in bytes per second.",
  }),
  EXECUTOR_ALLOW_HOST_IMAGE: flag(false).meta({
    description: "Whether jobs may use the image name `host`, which is this machine's own tool chain, read-only.",
  }),
  EXECUTOR_USE_FIRECRACKER: flag(false).meta({
    description: "Means EXECUTOR_RUNTIME=microvm if true. The default here is false.",
  }),
  EXECUTOR_USE_KUBERNETES: flag(false).meta({
    description: "Means EXECUTOR_RUNTIME=kubernetes if true.",
  }),
  DOCKER_HOST: z.string().optional().meta({
    description: "Where the Docker engine listens.",
    default: "unix:///var/run/docker.sock",
    values: "`unix:///PATH` or `tcp://HOST:PORT`",
  }),
};

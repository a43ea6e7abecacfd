import { expect, it } from "vitest";
import { dependencies } from "./debian-packages.ts";

it("finds libraries and Docker's own programs among the dependencies of packages, and the first alternative", () => {
  const listing = `docker.io
  PreDepends: init-system-helpers
  Depends: libc6
  Depends: libsystemd0
    libelogind0
  Depends: adduser
 |Depends: iptables
  Depends: libnftables1
  Recommends: ca-certificates
  Recommends: libfortune
  Suggests: libsuggested
  Conflicts: runc
libc6
  Depends: libgcc-s1:amd64
  Depends: <libvirtual>
`;
  expect(dependencies(listing)).toEqual(["libc6", "libsystemd0", "iptables", "ca-certificates", "libgcc-s1"]);
});

import { createHash } from "node:crypto";
import type { DebianPackage } from "./debian-files.ts";
import type { NpmPackage } from "./npm-packages.ts";

export interface SoftwareBillInput {
  readonly image: string;
  readonly version: string;
  readonly architecture: string;
  readonly debian: readonly DebianPackage[];
  readonly npm: readonly NpmPackage[];
}

/** The software in an image, as an SPDX 2.3 document. The same input makes the same document. */
export function softwareBill({ image, version, architecture, debian, npm }: SoftwareBillInput): object {
  const parts = [
    ...debian.map((each) => ({
      name: each.name,
      version: each.version,
      license: "NOASSERTION",
      url: `pkg:deb/debian/${each.name}@${encodeURIComponent(each.version)}?arch=${each.architecture}`,
    })),
    ...npm.map((each) => ({
      ...each,
      url: `pkg:npm/${each.name.replace(/^@/, "%40")}@${each.version}`,
    })),
  ];
  const packages = parts.map(({ name, version: versionInfo, license, url }, index) => ({
    SPDXID: `SPDXRef-Package-${index + 1}`,
    name,
    versionInfo,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license,
    copyrightText: "NOASSERTION",
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: url }],
  }));
  const own = {
    SPDXID: "SPDXRef-Image",
    name: image,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: "Apache-2.0",
    copyrightText: "NOASSERTION",
  };
  const id = createHash("sha256")
    .update(JSON.stringify([image, version, architecture, parts]))
    .digest("hex");
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `${image}-${version}-linux-${architecture}`,
    documentNamespace: `https://airlock.invalid/spdx/${image}/${id}`,
    creationInfo: { created: "1970-01-01T00:00:00Z", creators: ["Tool: airlock-images"] },
    packages: [own, ...packages],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: own.SPDXID },
      ...packages.map(({ SPDXID }) => ({
        spdxElementId: own.SPDXID,
        relationshipType: "CONTAINS",
        relatedSpdxElement: SPDXID,
      })),
    ],
  };
}

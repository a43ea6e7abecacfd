import type { IpFamily } from "../addresses/ip-range.ts";
import type { OwnerNames } from "../host/names.ts";
import { addressType } from "./set-names.ts";

/** An address that an allowed name resolved to. Stays open for `seconds`. */
export interface Pin {
  readonly slot: number;
  readonly family: IpFamily;
  readonly address: string;
  /** `null`: every port. */
  readonly port: number | null;
  readonly seconds: number;
}

/** Maximum number of pins of one sandbox at the same time. */
export const maxPins = 4096;
/** The kernel removes a pin slightly later than the executor assumes, so its sets are larger. */
const setSize = 2 * maxPins;
/** Maximum number of destinations that a sandbox connects to by name over its lifetime. */
const maxOpened = 16_384;
/** A connection may outlive its pin. No job runs longer than this. */
const openedFor = "3d";

/** Set of addresses that are open on one port each. */
export function pinnedPortSet(slot: number, family: IpFamily): string {
  return `p${family}_${slot}`;
}

/** Set of addresses that are open on every port. */
export function pinnedAddressSet(slot: number, family: IpFamily): string {
  return `a${family}_${slot}`;
}

/** Set of destinations whose connections began while they were pinned. */
export function openedSet(slot: number, family: IpFamily): string {
  return `o${family}_${slot}`;
}

/** Returns the sets that a policy with names needs. */
export function pinSets(slot: number, family: IpFamily): readonly (readonly [name: string, body: string])[] {
  const type = addressType(family);
  return [
    [pinnedPortSet(slot, family), `type ${type} . inet_service; size ${setSize}; flags timeout;`],
    [pinnedAddressSet(slot, family), `type ${type}; size ${setSize}; flags timeout;`],
    [
      openedSet(slot, family),
      `type ${type} . inet_service; size ${maxOpened}; flags dynamic, timeout; timeout ${openedFor};`,
    ],
  ];
}

/**
 * Opens pinned addresses. An existing element is deleted and added again in the same transaction, to renew its timeout.
 */
export function pinRuleset(names: OwnerNames, pins: readonly Pin[]): string {
  const lines = new Map<string, string>();
  for (const { slot, family, address, port, seconds } of pins) {
    const set = port === null ? pinnedAddressSet(slot, family) : pinnedPortSet(slot, family);
    const key = port === null ? address : `${address} . ${port}`;
    const where = `element inet ${names.table} ${set}`;
    // Adding first makes the deletion succeed whether the element existed or not.
    lines.set(
      `${set} ${key}`,
      `add ${where} { ${key} }\ndelete ${where} { ${key} }\nadd ${where} { ${key} timeout ${seconds}s }\n`,
    );
  }
  return [...lines.values()].join("");
}

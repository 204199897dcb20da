// Which addresses are never asked (pure), and DNS that refuses a name leading to one at the moment of connecting.
import { lookup as dnsLookup } from "node:dns";
import type { LookupAddress, LookupOptions } from "node:dns";
import { BlockList, isIP } from "node:net";
import { GitFailure } from "./git-failure.ts";

// Private ranges and loopback are where companies and the local mode have their Git; these never are.
const denied = new BlockList();
denied.addSubnet("169.254.0.0", 16); // link-local, with the metadata services of AWS, GCP, Azure, OpenStack
denied.addSubnet("fe80::", 10, "ipv6");
denied.addAddress("fd00:ec2::254", "ipv6"); // AWS metadata
denied.addAddress("fd20:ce::254", "ipv6"); // GCP metadata
denied.addAddress("100.100.100.200"); // Alibaba metadata
denied.addAddress("168.63.129.16"); // Azure wire server
denied.addAddress("192.0.0.192"); // Oracle metadata
denied.addSubnet("224.0.0.0", 4);
denied.addSubnet("ff00::", 8, "ipv6");
denied.addSubnet("64:ff9b::a9fe:0", 112, "ipv6"); // 169.254/16 through NAT64
denied.addSubnet("2002:a9fe::", 32, "ipv6"); // and through 6to4

export function addressDenied(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  // BlockList checks an IPv4-mapped IPv6 address against the IPv4 rules too.
  return denied.check(address, family === 6 ? "ipv6" : "ipv4");
}

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** All addresses of a name; node's own unless a test brings another. */
export type ResolveName = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** DNS for one connection attempt (H1): refuses the name when any of its addresses is refused. */
export const guardedLookup =
  (resolveName: ResolveName = dnsLookup) =>
  (hostname: string, options: LookupOptions, callback: LookupCallback): void => {
    resolveName(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const first = addresses[0];
      if (!first || addresses.some((a) => addressDenied(a.address))) {
        const why = `${hostname} leads to a link-local or metadata address, which is never asked`;
        return callback(new GitFailure("REPO_URL_DENIED", why), []);
      }
      if (options.all) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };

export type GuardedLookup = ReturnType<typeof guardedLookup>;

/** The versions of the CNI specification that are spoken, oldest first. */
export const cniVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof cniVersions)[number];

/** What is spoken where a version is not known (yet). */
export const LATEST: CniVersion = '1.1.0';

/** A configuration without cniVersion means the first one (containernetworking/cni pkg/version). */
export const UNSTATED: CniVersion = '0.1.0';

export const isCniVersion = (text: string): text is CniVersion => cniVersions.includes(text as CniVersion);

export const isAtLeast = (version: CniVersion, least: CniVersion): boolean =>
  cniVersions.indexOf(version) >= cniVersions.indexOf(least);

/** The answer to VERSION: in the version of the question where that is one of ours. */
export function versionAnswer(asked: CniVersion): string {
  return `${JSON.stringify({ cniVersion: asked, supportedVersions: cniVersions })}\n`;
}

import type { CniVersion } from './versions.ts';

/**
 * Codes of the specification (1 to 99) and ours. 999 is what the reference plugins answer when their own logic fails.
 */
export const cniCodes = {
  version: 1,
  unsupportedField: 2,
  environment: 4,
  io: 5,
  decoding: 6,
  config: 7,
  netns: 8,
  tryAgain: 11,
  notAvailable: 50,
  limited: 51,
  /** No free address in the node's pod CIDR. */
  podCidrFull: 100,
  /** An address that was asked for cannot be had. */
  addressTaken: 101,
  /** A message to the kernel was refused. */
  kernel: 102,
  /** CHECK found something missing or changed. */
  changed: 103,
  logic: 999,
} as const;
export type CniCode = (typeof cniCodes)[keyof typeof cniCodes];

/** What a call of the plugin is answered with when it fails: thrown where it is found out, printed by `failureJson`. */
export class CniFailure extends Error {
  override readonly name = 'CniFailure';
  readonly code: CniCode;
  /** What to do, or what exactly was found. */
  readonly details: string | undefined;

  constructor(code: CniCode, message: string, details?: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.details = details;
  }
}

export const isCniFailure = (error: unknown): error is CniFailure =>
  error instanceof Error && error.name === 'CniFailure' && 'code' in error;

/** The error object of the specification, in the version that was asked for. Any other error is one of our logic. */
export function failureJson(version: CniVersion, error: unknown): string {
  const failure = isCniFailure(error) ? error : new CniFailure(cniCodes.logic, textOf(error), undefined, error);
  const { code, message: msg, details } = failure;
  return `${JSON.stringify({ cniVersion: version, code, msg, ...(details === undefined ? {} : { details }) }, null, 4)}\n`;
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

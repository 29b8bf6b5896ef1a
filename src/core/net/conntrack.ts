/** One direction of a connection: who sends to whom. Ports are 0 for protocols without. */
export interface Tuple {
  /** RFC 5952 text. */
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface ConntrackEntry {
  readonly family: 'ipv4' | 'ipv6';
  /** 6 TCP, 17 UDP, 132 SCTP. */
  readonly protocol: number;
  readonly original: Tuple;
  readonly reply: Tuple;
  /** CTA_ID: two entries with one tuple, one after the other, have different ones. */
  readonly id: number;
  readonly zone: number;
}

/** What a dump gives: entries that fit all that is there. */
export interface ConntrackFilter {
  readonly family: 'ipv4' | 'ipv6';
  readonly protocol: number;
  /** Original destination; all when absent. */
  readonly destination?: string;
  readonly destinationPort?: number;
}

import type { KubeObject } from '../../core/objects.ts';
import type { Log } from '../../core/provider.ts';
import type { Recorder } from '../../kube/events.ts';

export interface ReportsOptions {
  readonly recorder: Pick<Recorder, 'record'>;
  readonly log: Log;
  /** The Service; undefined when it is gone. */
  readonly service: (key: string) => KubeObject | undefined;
}

/** What is wrong with Services, told once per change of it. */
export interface Reports {
  /** `messages`: all that is wrong now in this respect; none: nothing is. */
  tell(key: string, reason: ReportReason, messages: readonly string[]): void;
  /** The Service is gone. */
  forget(key: string): void;
}

/** Reasons of the Warnings on Services. */
export type ReportReason =
  /** An address, port or range is of no use; that part is left out. */
  | 'ServiceProxyInvalid'
  /** Another Service has the same address and port, and keeps it. */
  | 'ServiceProxyConflict'
  /** The kernel does not take a part. */
  | 'ServiceProxyRefused'
  /** kube-proxy's: nobody answers at healthCheckNodePort. */
  | 'FailedToStartServiceHealthcheck';

export function createReports({ recorder, log, service }: ReportsOptions): Reports {
  const told = new Map<string, Map<ReportReason, string>>(); // Service -> what it was told last

  return {
    tell(key, reason, messages) {
      const text = messages.join('; ');
      const before = told.get(key);
      if ((before?.get(reason) ?? '') === text) return;
      if (text === '') {
        before?.delete(reason);
        if (before?.size === 0) told.delete(key);
        return;
      }
      told.set(key, (before ?? new Map<ReportReason, string>()).set(reason, text));
      log.warn({ key, reason, message: text }, 'a part of the Service is not served');
      const object = service(key);
      if (object !== undefined) recorder.record({ object, type: 'Warning', reason, message: text });
    },
    forget: (key) => void told.delete(key),
  };
}

import { type Logger as PinoLogger, pino } from 'pino';
import type { Log } from '../core/provider.ts';

export type Level = keyof Log;

/** A Log that can carry fields of its own in every line. */
export interface Logger extends Log {
  /** For a controller: `{ controller: 'service' }`; for a run: `{ key }`. */
  child(fields: object): Logger;
}

export interface LogOptions {
  /** The least important level that is written. Default info. */
  readonly level?: Level;
  /** Takes whole lines. Default: standard output, written before the call returns, so that no line is lost at exit. */
  readonly destination?: { write(line: string): void };
}

/**
 * JSON, one object per line: `{"level":"info","time":"2026-11-20T12:00:00.000Z","key":"web/shop","msg":"apply"}`. An Error
 * under `err` or `error` is written with its type, stack and causes, and a ProviderError's kind, code and field.
 */
export function createLog({ level = 'info', destination }: LogOptions = {}): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
  };
  return toLogger(pino(options, destination ?? pino.destination({ fd: 1, sync: true })));
}

function toLogger(logger: PinoLogger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => toLogger(logger.child(fields)),
  };
}

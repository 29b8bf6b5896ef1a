/** One `key = value` of a file in the INI form that cloud providers were always configured in (gcfg). */
export interface IniEntry {
  /** As written, without the quoted subsection. */
  readonly section: string;
  readonly subsection?: string;
  readonly key: string;
  /** 'true' where there is no `=`. */
  readonly value: string;
  readonly line: number;
}

export interface Ini {
  readonly entries: readonly IniEntry[];
  /** Lines that say nothing: 'line 3: ...'. */
  readonly problems: readonly string[];
}

/**
 * Sections in brackets, keys, values with or without quotes, comments after `#` or `;`. A key may come several times. Case
 * of sections and keys means nothing to gcfg: whoever looks for one must compare without it.
 */
export function parseIni(text: string): Ini {
  const entries: IniEntry[] = [];
  const problems: string[] = [];
  let section: Pick<IniEntry, 'section' | 'subsection'> | undefined;
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    if (trimmed === '' || /^[#;]/.test(trimmed)) continue;
    const [, name, subsection] = /^\[\s*([\w.-]+)\s*(?:"([^"]*)")?\s*\]\s*(?:[#;].*)?$/.exec(trimmed) ?? [];
    if (name !== undefined) {
      section = { section: name, ...(subsection === undefined ? {} : { subsection }) };
      continue;
    }
    const [, key, rest] = /^([A-Za-z][\w-]*)\s*(?:=\s*(.*))?$/.exec(withoutComment(trimmed)) ?? [];
    if (key === undefined)
      problems.push(`line ${line}: ${JSON.stringify(trimmed)} is neither [Section] nor key = value`);
    else if (section === undefined) problems.push(`line ${line}: ${key} stands before any [Section]`);
    else entries.push({ ...section, key, value: rest === undefined ? 'true' : unquoted(rest), line });
  }
  return { entries, problems };
}

/** Quotes keep `#` and `;` in a value. */
function withoutComment(text: string): string {
  const [kept = ''] = /^(?:[^"#;]|"(?:[^"\\]|\\.)*")*/.exec(text) ?? [];
  return kept.trim();
}

function unquoted(text: string): string {
  return text.replace(/"((?:[^"\\]|\\.)*)"/g, (_, inner: string) => inner.replace(/\\(.)/g, '$1')).trim();
}

import type { Rules } from '../admit.ts';
import { clone, type Draft, same } from '../json.ts';
import { jsonPath } from '../json-path.ts';
import type { CustomVersion } from '../resources.ts';
import { checkSchema } from '../schema.ts';
import { pathSegment } from '../words.ts';

/** The registry of the custom resources of one version of a definition. */
export function customRules({ statusSubresource, selectableFields, schema }: CustomVersion): Rules {
  return {
    versionRequired: true,
    fields: Object.fromEntries(selectableFields.map((path) => [path.replace(/^\./, ''), selectable(path)])),
    nameErrors: pathSegment,
    prepareCreate(draft) {
      draft.metadata.generation = 1;
      if (statusSubresource) delete draft['status'];
    },
    prepareUpdate(draft, old, part) {
      if (part === 'status') return keepAllButStatus(draft, old);
      if (statusSubresource) restore(draft, old, 'status');
      const { metadata: _metadata, ...content } = draft;
      const { metadata: _oldMetadata, ...oldContent } = old;
      if (!same(content, oldContent)) draft.metadata.generation = (old.metadata.generation ?? 0) + 1;
    },
    validate: (draft, old) => checkSchema(draft, schema, old),
  };
}

/** A status update may write the status and, as its trace, managedFields: nothing else. */
function keepAllButStatus(draft: Draft, old: Draft): void {
  const { status } = draft;
  const { managedFields } = draft.metadata;
  for (const member of Object.keys(draft)) delete draft[member];
  Object.assign(draft, clone(old));
  if (status === undefined) delete draft['status'];
  else draft['status'] = status;
  if (managedFields !== undefined) draft.metadata.managedFields = managedFields;
}

function restore(draft: Draft, old: Draft, member: string): void {
  if (old[member] === undefined) delete draft[member];
  else draft[member] = clone(old[member]);
}

function selectable(path: string): (object: Draft) => string {
  const read = jsonPath(path);
  return (object) => {
    const [value] = read(object);
    return value === undefined || value === null ? '' : String(value);
  };
}

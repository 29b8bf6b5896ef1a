// Runs on whatever Node there is, so it is plain JavaScript of long ago: a .ts entry would die on Node 20 with
// ERR_UNKNOWN_FILE_EXTENSION, which tells nobody anything.
var NEEDED = 24;
var found = process.versions.node;
if (Number(found.split('.')[0]) < NEEDED) {
  console.error(
    'Fairlead needs Node ' +
      NEEDED +
      ' or newer and found ' +
      found +
      ' (' +
      process.execPath +
      ').\n' +
      'On Linux `npm ci` brings it (not with --omit=optional); elsewhere install Node ' +
      NEEDED +
      ' from nodejs.org.',
  );
  process.exit(1);
}

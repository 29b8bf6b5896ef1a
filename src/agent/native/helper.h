#ifndef FAIRLEAD_HELPER_H
#define FAIRLEAD_HELPER_H

/* Serves requests on standard input until its end. `netns`: path of the namespace to work in, or NULL. Exit status. */
int helper_main(const char *netns);

#endif

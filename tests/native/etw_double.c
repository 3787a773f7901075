/* A double of ETW for tests: the provider's, the session's and the consumer's functions inside one process,
   and functions by which a test drives and watches them.

   It takes the place of advapi32, sechost and tdh.  Nothing of it touches the real ETW, and sessions are seen
   by this process only.  Not modelled: buffers that run full, flush timers, contents of .etl files, several
   traces in one ProcessTrace, access rights; all of those can be had as faults or numbers set by the test.

   Compiled as one unit, with the headers beside it and no others than the system's own:

       cc -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -pthread -o etw_double.so etw_double.c
       x86_64-w64-mingw32-gcc -O2 -Wall -Wextra -Werror -shared -static-libgcc -s -o etw_double.dll \
           etw_double.c etw_layouts.c                                                                        */

#include "etw_provider.h"
#include "etw_session.h"
#include "etw_consumer.h"
#include "etw_controls.h"

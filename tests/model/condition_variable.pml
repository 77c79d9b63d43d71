/* SPDX-License-Identifier: Apache-2.0

   The protocol of sync/condition_variable.h, for SPIN: sequentially consistent, one step per store. The lock is taken
   for granted (mutex.pml): who dies with it leaves it marked. Takers wait with a predicate for a job each; one poster,
   which may die, posts one job, and one that lives posts as many as there are takers, each with notify(N). Whoever
   finds the lock marked repairs at once, before it notifies.

   Checked: every taker that lives ends, with at most SLICES ends of a slice in all; without deaths no more waiters go
   than a notification let go.

   Mutants: -DOLDORDER (the counts are cleared before the sequence is written), -DNOWAKE, -DNOSLEEPERS (sleepers do not
   say so), -DGREEDY (a permit is not used up). */
#ifndef TAKERS
#define TAKERS 2
#endif
#ifndef NOTIFIED
#define NOTIFIED 1
#endif
#ifndef MAXCRASH
#define MAXCRASH 1
#endif
#ifndef SLICES
#define SLICES 0
#endif
#define THREADS 4

byte lock; bool marked;                                  /* lock: 0 or the holder's number + 1 */
byte sequence, released, waiters, permits; bool sleepers;
bool asleep[THREADS];
byte jobs, crashes, slices, allowed;

#define MAYDIE if :: mortal && crashes < MAXCRASH -> crashes++; goto dying :: true fi
#define LOCK atomic { lock == 0 -> lock = id + 1; was_marked = marked }
#define UNLOCK lock = 0
#define REPAIR marked = false; was_marked = false

inline wake(most) {
#ifndef NOWAKE
  atomic {
    byte left = most;
    do
    :: left > 0 && asleep[0] -> asleep[0] = false; left--
    :: left > 0 && asleep[1] -> asleep[1] = false; left--
    :: left == 0 || (!asleep[0] && !asleep[1]) -> break
    od;
    left = 0
  }
#else
  skip
#endif
}

proctype Taker(byte id; bool mortal) {
  byte entered, seen; bool was_marked, asked;
  LOCK; REPAIR;

check:
  MAYDIE;
  if :: jobs > 0 -> jobs--; MAYDIE; UNLOCK; goto out :: else fi;
  atomic { entered = sequence; waiters++ };
again:
  MAYDIE;
#ifndef NOSLEEPERS
  sleepers = true;
#endif
  MAYDIE;
  atomic { seen = sequence; UNLOCK };
doze:
  MAYDIE;
  if
  :: sequence != seen
  :: sequence == seen && !asked ->
    asked = true;
    if :: lock == 0 && marked :: else -> goto doze fi
  :: sequence == seen && asked ->
    asked = false;
    MAYDIE;
    atomic { if :: sequence == seen -> asleep[id] = true :: else fi };
    if
    :: !asleep[id]
    :: mortal && crashes < MAXCRASH && asleep[id] -> atomic { crashes++; asleep[id] = false; goto dying }
    :: timeout -> atomic { asleep[id] = false; slices++; assert(slices <= SLICES) }
    fi;
    goto doze
  fi;
  LOCK; asked = false;
  MAYDIE;
  if
  :: released > entered -> goto goes
  :: released <= entered && permits > 0 && sequence != entered ->
#ifndef GREEDY
    permits--;
#endif
    MAYDIE;
    if :: waiters > 0 -> waiters-- :: else fi;
    goto goes
  :: else
  fi;
  if
  :: was_marked -> if :: waiters > 0 -> waiters-- :: else fi; MAYDIE; REPAIR; goto check
  :: else -> goto again
  fi;
goes:
  atomic {
    assert(crashes > 0 || allowed > 0);
    if :: allowed > 0 -> allowed-- :: else fi;
    REPAIR;
    goto check
  };
dying:
  atomic { if :: lock == id + 1 -> lock = 0; marked = true :: else fi };
out:
  skip
}

proctype Poster(byte id; byte count; bool mortal) {
  byte w, p, s; bool was_marked, sl;

post:
  LOCK; REPAIR;
  MAYDIE;
  jobs++;
  MAYDIE;
  atomic {
    w = waiters; sl = sleepers; s = sequence + 1;
    p = (permits < waiters -> permits : waiters);
    allowed = allowed + (NOTIFIED < w - p -> NOTIFIED : w - p)
  };
  if
  :: NOTIFIED >= w - p && w != 0 ->
#ifdef OLDORDER
    waiters = 0; MAYDIE; permits = 0; MAYDIE; sleepers = false; MAYDIE; released = s; MAYDIE; sequence = s;
#else
    released = s; MAYDIE; sequence = s; MAYDIE; permits = 0; MAYDIE; waiters = 0; MAYDIE; sleepers = false;
#endif
    MAYDIE;
    if :: sl -> wake(THREADS) :: else fi
  :: NOTIFIED < w - p ->
    permits = p + NOTIFIED;
    MAYDIE;
    sequence = s;
    MAYDIE;
    if :: sl -> wake(NOTIFIED) :: else fi
  :: else
  fi;
  MAYDIE;
  atomic {
    UNLOCK; count--; w = 0; p = 0; s = 0; sl = false;
    if :: count > 0 -> goto post :: else -> goto out fi
  };
dying:
  atomic { if :: lock == id + 1 -> lock = 0; marked = true :: else fi };
out:
  skip
}

init {
  atomic {
#ifdef MORTAL_TAKER
    run Taker(0, true);
#else
    run Taker(0, false);
#endif
#if TAKERS > 1
    run Taker(1, false);
#endif
    run Poster(2, 1, true);
    run Poster(3, TAKERS, false)
  }
}

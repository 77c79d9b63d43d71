/* SPDX-License-Identifier: Apache-2.0

   The protocol of sync/mutex.h, for SPIN: sequentially consistent, one step per access to the word, any of N threads
   may die before any step, MAXCRASH deaths in all; thread 0 comes ROUNDS times, the others once. The kernel marks the pending lock and wakes (HELP), and then the
   dead one's tag is dead. A slice ends only if nothing else can happen.

   Checked: one inside at a time; an owner's death in there is always noticed; nobody needs more slices than SLICES,
   so that with 0 no wake-up is lost.

   Mutants: -DNOKEEP (who takes the lock clears `waiters`), -DFORGET (who gives it back clears `waiters`),
   -DNOMARK (nobody marks a dead owner's lock), -DANYBODYS (a waker that woke nobody clears `waiters` whoever left it). */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef MAXCRASH
#define MAXCRASH 1
#endif
#ifndef HELP
#define HELP 1
#endif
#ifndef SLICES
#define SLICES 0
#endif

/* The word: whose it is (0: nobody's, i + 1: thread i's), who gave it back with waiters, and its two bits. */
byte owner, giver; bool waiters, marked;

bool asleep[N], dead[N];
byte crashes, slices;

/* What the lock protects. */
byte inside; bool dirty;

#define MAYDIE if :: crashes < MAXCRASH -> crashes++; goto dying :: true fi
#define LOOK o = owner; g = giver; w = waiters; m = marked
#define SAME (owner == o && giver == g && waiters == w && marked == m)

/* Wakes any one sleeper: every order in which they may lie in the queue. */
inline wake_one(woke) {
  if
  :: asleep[0] -> asleep[0] = false; woke = true
  :: asleep[1] -> asleep[1] = false; woke = true
#if N > 2
  :: asleep[2] -> asleep[2] = false; woke = true
#endif
#if N > 3
  :: asleep[3] -> asleep[3] = false; woke = true
#endif
  :: else -> woke = false
  fi
}

proctype Thread(byte id) {
  byte o, g, round; bool w, m, slept, asked, woke, pending, within;

again:
  pending = true;
  MAYDIE;
  atomic {                                               /* free -> mine */
    LOOK;
    if :: o == 0 && !w && !m -> owner = id + 1; goto got :: else fi
  };

retry:
  if
  :: o == 0 ->
    MAYDIE;
    atomic {
      if
      :: SAME -> owner = id + 1; giver = 0;
#ifdef NOKEEP
        waiters = false;
#else
        waiters = w || slept;
#endif
        goto got
      :: else -> LOOK; goto retry
      fi
    }
  :: o != 0 && !asked ->                                 /* ask after the owner */
    asked = true;
    MAYDIE;
    if
    :: dead[o - 1] ->
      MAYDIE;
      atomic { if :: SAME -> owner = 0; marked = true :: else fi }
    :: else
    fi;
    MAYDIE;
    atomic { LOOK; goto retry }
  :: o != 0 && asked ->                                  /* announce, sleep */
    asked = false;
    if
    :: !w ->
      MAYDIE;
      atomic { if :: SAME -> waiters = true; w = true :: else -> LOOK; goto retry fi }
    :: else
    fi;
    MAYDIE;
    atomic { slept = true; if :: SAME -> asleep[id] = true :: else fi };
    if
    :: !asleep[id]
    :: crashes < MAXCRASH && asleep[id] -> atomic { crashes++; asleep[id] = false; goto dying }
    :: timeout -> atomic { asleep[id] = false; slices++; assert(slices <= SLICES) }
    fi;
    MAYDIE;
    atomic { LOOK; goto retry }
  fi;

got:
  atomic {
    assert(inside == 0);
    inside++; within = true;
    if :: m -> dirty = false :: else -> assert(!dirty) fi;
    dirty = true
  };
  MAYDIE;
  atomic { dirty = false; marked = false };              /* in order: mark_consistent() */
  MAYDIE;
  atomic {                                               /* mine -> free */
    inside--; within = false;
    LOOK; owner = 0;
#ifdef FORGET
    waiters = false;
#endif
    giver = (waiters -> id + 1 : 0);
    if :: !w -> goto given :: else fi
  };
  MAYDIE;
  atomic { wake_one(woke) };
  MAYDIE;
  if
#ifdef ANYBODYS
  :: !woke -> atomic { if :: owner == 0 && waiters && !marked -> waiters = false; giver = 0 :: else fi }
#else
  :: !woke -> atomic { if :: owner == 0 && giver == id + 1 && waiters && !marked -> waiters = false; giver = 0 :: else fi }
#endif
  :: else
  fi;

given:
  MAYDIE;
  atomic {
    pending = false; round++;
    o = 0; g = 0; w = false; m = false; slept = false; asked = false; woke = false;
    if :: round < (id == 0 -> ROUNDS : 1) -> goto again :: else -> goto out fi
  };

dying:                                                   /* the rest is the kernel's */
  atomic { if :: within -> inside--; within = false :: else fi; woke = false };
#ifndef NOMARK
  if
  :: HELP && pending ->
    atomic {
      if
      :: owner == id + 1 -> owner = 0; marked = true; woke = waiters
      :: owner == 0 -> woke = true
      :: else
      fi
    };
    if :: woke -> atomic { wake_one(woke) } :: else fi
  :: else
  fi;
  dead[id] = true;
#endif
out:
  skip
}

init {
  atomic {
    byte i = 0;
    do :: i < N -> run Thread(i); i++ :: else -> break od
  }
}

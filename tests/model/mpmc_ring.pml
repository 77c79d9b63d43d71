/* SPDX-License-Identifier: Apache-2.0

   The protocol of lockfree/mpmc_ring.h, for SPIN: sequentially consistent, one step per load, store or
   compare-and-swap of a cell's word. Producers push runs of one or two items, consumers pop such runs, pass what
   others have and come back to it; all but the last consumer may die between any two steps, MAXCRASH of them. The
   shared hints are left out: they only save steps.

   Checked: no item comes out twice, none whose push had ended is missing, unless its taker died having acknowledged
   it; of a run all items or none are pushed, and acknowledged; nobody finds a cell that is behind its place.

   Mutants: -DNOREPAIR, -DNOREREAD (the first cell is not looked at again once its owner is known to be dead), -DNOMARK
   (an item offered again looks as if nobody had had it), -DFIRSTFIRST (the first cell of a run is committed first),
   -DNOSTEP (who meets a run steps to its second cell), -DRESTLATE (the first cell is repaired before the rest),
   -DNODONE (a run is acknowledged cell by cell). */
#ifndef N
#define N 2
#endif
#ifndef MAXCRASH
#define MAXCRASH 1
#endif
#ifndef ITEMS1
#define ITEMS1 3
#endif
#ifndef ITEMS2
#define ITEMS2 0
#endif
#ifndef MORTALS
#define MORTALS 1
#endif
#define MOST 8

mtype = { EMPTY, WRITING, FULL, READING };
typedef Cell { byte lap; mtype state; byte owner; byte cells; bool done; bool again; byte value };
Cell cell[N];
bool dead[6]; bool acknowledged[MOST]; byte got[MOST];
byte crashes, over;

#define MAYDIE if :: mortal && crashes < MAXCRASH -> atomic { crashes++; dead[id] = true; over++; goto stop } :: true fi

inline look(at) {
  atomic {
    i = at % N; l = cell[i].lap; s = cell[i].state; o = cell[i].owner; r = cell[i].cells; d = cell[i].done;
    a = cell[i].again
  }
}
#define UNCHANGED(x) (cell[x].lap == l && cell[x].state == s && cell[x].owner == o && cell[x].cells == r \
                      && cell[x].done == d && cell[x].again == a)

/* What a cell of a claim that is undone becomes. */
inline undo(x) {
  if
  :: s == WRITING || d -> cell[x].lap = l + 1; cell[x].state = EMPTY; cell[x].again = false
  :: else ->
     cell[x].state = FULL;
#ifndef NOMARK
     cell[x].again = true
#endif
  fi;
  cell[x].owner = 0; cell[x].cells = 0; cell[x].done = false
}
inline undo_rest() {
  if
  :: r == 2 ->
     atomic {
       if
       :: cell[i + 1].lap == l && cell[i + 1].state == FULL && !cell[i + 1].again -> undo(i + 1)
       :: else
       fi
     };
     MAYDIE;
     atomic {
       if
       :: s == WRITING && cell[i + 1].lap == l && cell[i + 1].state == EMPTY -> undo(i + 1)
       :: else
       fi
     };
     MAYDIE
  :: else
  fi
}
inline undo_first() {
  atomic { if :: UNCHANGED(i) -> undo(i) :: else fi }
}
/* Of a dead owner. The look and the verdict are two steps. */
inline repair() {
#ifndef NOREREAD
  if
  :: atomic { !UNCHANGED(i) -> skip }
  :: atomic { UNCHANGED(i) -> skip };
#endif
#ifdef RESTLATE
     undo_first(); MAYDIE; undo_rest()
#else
     undo_rest(); undo_first()
#endif
#ifndef NOREREAD
  fi
#endif
}
#define CLAIMED (s == WRITING || s == READING)
#ifdef NOREPAIR
#define UNDOES false
#else
#define UNDOES (CLAIMED && dead[o])
#endif

proctype Producer(byte id; byte first; byte items) {
  byte t, i, l, o, r, k, n; mtype s; bool d, a, ok; bool mortal = true;
  do
  :: k == items -> break
  :: else ->
     MAYDIE;
     look(t);
     if
     :: l == t / N && s == EMPTY ->
        n = 1;
        if
        :: i + 1 < N && k + 1 < items && cell[i + 1].lap == l && cell[i + 1].state == EMPTY -> n = 2
        :: true
        fi;
        atomic {
          ok = UNCHANGED(i);
          if :: ok -> cell[i].state = WRITING; cell[i].owner = id; cell[i].cells = n :: else fi
        };
        if
        :: ok ->
           MAYDIE;
#ifdef FIRSTFIRST
           atomic { cell[i].value = first + k; cell[i].state = FULL; cell[i].owner = 0; cell[i].cells = 0 };
           MAYDIE;
#endif
           if
           :: n == 2 ->
              cell[i + 1].value = first + k + 1;
              MAYDIE;
              cell[i + 1].state = FULL;
              MAYDIE
           :: else
           fi;
#ifndef FIRSTFIRST
           cell[i].value = first + k;
           MAYDIE;
#endif
           atomic {
#ifndef FIRSTFIRST
             cell[i].state = FULL; cell[i].owner = 0; cell[i].cells = 0;
#endif
             acknowledged[first + k] = true;
             if :: n == 2 -> acknowledged[first + k + 1] = true :: else fi;
             k = k + n; t = t + n; n = 0; ok = false
           }
        :: else
        fi
     :: l == t / N && s == WRITING ->                        /* others were here */
#ifdef NOSTEP
        t = t + 1
#else
        t = t + r
#endif
     :: (l == t / N && s != EMPTY && s != WRITING) || l > t / N -> t = t + 1
     :: l < t / N ->                                         /* full */
        assert(l + 1 == t / N && s != EMPTY);
        if :: UNDOES -> repair() :: else fi
     fi;
     atomic { i = 0; l = 0; s = 0; o = 0; r = 0; d = false; a = false }
  od;
  over++;
stop:
  skip
}

proctype Consumer(byte id; bool mortal; byte tries) {
  byte p, oldest, i, l, o, r, n, v, w; mtype s; bool d, a, ok, left, all_over, twice;
  do
  :: mortal && tries == 0 -> break
  :: else ->
     all_over = over == 2 + MORTALS;
     MAYDIE;
     look(p);
     if
     :: l > p / N -> p = p + 1
     :: l == p / N && s == FULL ->
        n = 1;
        if
        :: i + 1 < N && !left && !a && cell[i + 1].lap == l && cell[i + 1].state == FULL && !cell[i + 1].again -> n = 2
        :: true
        fi;
        atomic {
          ok = UNCHANGED(i);
          if :: ok -> cell[i].state = READING; cell[i].owner = id; cell[i].cells = n; cell[i].again = false :: else fi
        };
        if
        :: ok ->
           MAYDIE;
           v = cell[i].value;
           if :: n == 2 -> w = cell[i + 1].value :: else fi;
           MAYDIE;
           if
           :: n == 2 ->
#ifndef NODONE
              atomic {
                cell[i].done = true;
                got[v]++; got[w]++; assert(v != 0 && w != 0 && got[v] == 1 && got[w] == 1)
              };
              MAYDIE;
              atomic { cell[i + 1].lap = l + 1; cell[i + 1].state = EMPTY; cell[i + 1].value = 0 };
              MAYDIE;
              atomic {
                cell[i].lap = l + 1; cell[i].state = EMPTY; cell[i].owner = 0; cell[i].cells = 0; cell[i].done = false;
                cell[i].value = 0
              }
#else
              atomic { cell[i + 1].lap = l + 1; cell[i + 1].state = EMPTY; cell[i + 1].value = 0 };
              MAYDIE;
              atomic {
                cell[i].lap = l + 1; cell[i].state = EMPTY; cell[i].owner = 0; cell[i].cells = 0; cell[i].value = 0;
                got[v]++; got[w]++; assert(v != 0 && w != 0 && got[v] == 1 && got[w] == 1)
              }
#endif
           :: else ->
              atomic {
                cell[i].lap = l + 1; cell[i].state = EMPTY; cell[i].owner = 0; cell[i].cells = 0; cell[i].value = 0;
                got[v]++; assert(v != 0 && got[v] == 1)
              }
           fi;
           atomic { p = p + n; n = 0; v = 0; w = 0; ok = false; twice = false; if :: tries > 0 -> tries-- :: else fi }
        :: else
        fi
     :: else ->
        if
        :: left && p - oldest >= N -> ok = true              /* nothing */
        :: else ->
           assert(l == p / N);                               /* else the cell is behind its place */
           if
           :: UNDOES -> repair()
           :: !UNDOES && s == READING ->
              atomic {
                if :: !left -> oldest = p; left = true :: else fi;
#ifdef NOSTEP
                p = p + 1
#else
                p = p + r
#endif
              }
           :: !UNDOES && s != READING -> ok = true
           fi
        fi;
        if
        :: ok && left && twice -> break                       /* nobody is there to change it */
        :: ok && left && !twice ->
           twice = all_over;
           atomic { p = oldest; oldest = 0; left = false; ok = false; if :: tries > 0 -> tries-- :: else fi }
        :: ok && !left && mortal -> tries--; ok = false
        :: ok && !left && !mortal -> ok = false; if :: all_over -> break :: else fi
        :: else
        fi
     fi;
     atomic { i = 0; l = 0; s = 0; o = 0; r = 0; d = false; a = false; all_over = false }
  od;
  if
  :: mortal -> over++
  :: else ->
     d_step {
       v = 1;
       do
       :: v == MOST -> break
       :: else -> assert(!acknowledged[v] || got[v] == 1); v++
       od
     }
  fi;
stop:
  skip
}

init {
  atomic {
    cell[0].state = EMPTY; cell[1].state = EMPTY;
#if N > 2
    cell[2].state = EMPTY;
#endif
    run Producer(0, 1, ITEMS1);
    run Producer(1, 1 + ITEMS1, ITEMS2);
    run Consumer(2, true, 2);
#if MORTALS > 1
    run Consumer(3, true, 3);
#endif
    run Consumer(4, false, 0)
  }
}

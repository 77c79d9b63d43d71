// SPDX-License-Identifier: Apache-2.0
//
// The consumer's own ipc/pipe.h, of the same path as one of sluice's: neither hides the other.

#ifndef IPC_PIPE_H_
#define IPC_PIPE_H_

/// A piece of plumbing.
struct Pipe {
  double length_m;
  double diameter_mm;
};

#endif  // IPC_PIPE_H_

#include "textflag.h"

// The interpreter. It is never called here: its bytes are copied into the
// image, so it must not refer to anything outside of itself.
//
// R20 holds the header's address: 0 the report descriptor, 8 errno, 16 step
// and 24 value of the failure message, 32 the first step.
// R19 walks the steps; their layout is that of step.encode.
TEXT ·interp(SB), NOSPLIT|NOFRAME, $0
	MOVD	$0x601000, R20
	MOVD	32(R20), R19
step:
	MOVD	8(R19), R0
	MOVD	16(R19), R1
	MOVD	24(R19), R2
	MOVD	32(R19), R3
	MOVD	40(R19), R4
	MOVD	48(R19), R5
	MOVD	104(R19), R9
	TBZ	$0, R9, a1
	MOVD	0(R0), R0
a1:
	TBZ	$1, R9, a2
	MOVD	0(R1), R1
a2:
	TBZ	$2, R9, a3
	MOVD	0(R2), R2
a3:
	TBZ	$3, R9, a4
	MOVD	0(R3), R3
a4:
	TBZ	$4, R9, a5
	MOVD	0(R4), R4
a5:
	TBZ	$5, R9, call
	MOVD	0(R5), R5
call:
	MOVD	0(R19), R8
	CMN	$1, R8 // no call: see Spin
	BEQ	spin
	SVC
	CMN	$4095, R0
	BCC	ok
	NEG	R0, R1
	CMP	$11, R1 // EAGAIN
	BNE	tolerate
	MOVWU	108(R19), R9 // what is left of the retries
	CBZ	R9, tolerate
	SUB	$1, R9
	MOVW	R9, 108(R19)
	B	step
tolerate:
	CMP	$127, R1
	BHI	fail
	LSR	$6, R1, R2 // which of the two words of tolerated numbers
	ADD	$64, R19, R3
	MOVD	(R3)(R2<<3), R4
	LSR	R1, R4, R4
	TBZ	$0, R4, fail
	MOVD	80(R19), R19
	B	step
ok:
	MOVD	56(R19), R9
	CBZ	R9, branch
	MOVD	R0, 0(R9)
branch:
	MOVD	96(R19), R10
	CBNZ	R0, go
	MOVD	88(R19), R10
go:
	MOVD	R10, R19
	B	step
spin:
	MOVD	R0, R1
again:
	YIELD
	MOVD	(R1), R0
	CBZ	R0, again
	B	ok
fail:
	MOVD	R1, 8(R20)
	MOVD	R19, 16(R20)
	MOVD	$64, R8 // write
	MOVD	0(R20), R0
	ADD	$8, R20, R1
	MOVD	$24, R2
	SVC
	MOVD	$94, R8 // exit_group
	MOVD	$127, R0
	SVC
	UNDEF // a seccomp filter may forbid even that

TEXT ·interpEnd(SB), NOSPLIT|NOFRAME, $0
	RET

// func interpreter() (start unsafe.Pointer, size uintptr)
TEXT ·interpreter(SB), NOSPLIT, $0-16
	MOVD	$·interp(SB), R0
	MOVD	R0, start+0(FP)
	MOVD	$·interpEnd(SB), R1
	SUB	R0, R1, R1
	MOVD	R1, size+8(FP)
	RET

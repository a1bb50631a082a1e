#include "textflag.h"

// The interpreter. It is never called here: its bytes are copied into the
// image, so it must not refer to anything outside of itself.
//
// R13 holds the header's address: 0 the report descriptor, 8 errno, 16 step
// and 24 value of the failure message, 32 the first step.
// R12 walks the steps; their layout is that of step.encode.
TEXT ·interp(SB), NOSPLIT|NOFRAME, $0
	MOVQ	$0x601000, R13
	MOVQ	32(R13), R12
step:
	MOVQ	8(R12), DI
	MOVQ	16(R12), SI
	MOVQ	24(R12), DX
	MOVQ	32(R12), R10
	MOVQ	40(R12), R8
	MOVQ	48(R12), R9
	MOVQ	104(R12), BX
	TESTB	$1, BX
	JEQ	a1
	MOVQ	0(DI), DI
a1:
	TESTB	$2, BX
	JEQ	a2
	MOVQ	0(SI), SI
a2:
	TESTB	$4, BX
	JEQ	a3
	MOVQ	0(DX), DX
a3:
	TESTB	$8, BX
	JEQ	a4
	MOVQ	0(R10), R10
a4:
	TESTB	$16, BX
	JEQ	a5
	MOVQ	0(R8), R8
a5:
	TESTB	$32, BX
	JEQ	call
	MOVQ	0(R9), R9
call:
	MOVQ	0(R12), AX
	CMPQ	AX, $-1 // no call: see Spin
	JEQ	spin
	SYSCALL
	CMPQ	AX, $0xfffffffffffff001
	JCS	ok
	NEGQ	AX
	CMPQ	AX, $11 // EAGAIN
	JNE	tolerate
	MOVL	108(R12), BX // what is left of the retries
	TESTL	BX, BX
	JEQ	tolerate
	DECL	BX
	MOVL	BX, 108(R12)
	JMP	step
tolerate:
	CMPQ	AX, $127
	JHI	fail
	BTQ	AX, 64(R12) // the two words of tolerated numbers are one bit string
	JCC	fail
	MOVQ	80(R12), R12
	JMP	step
ok:
	MOVQ	56(R12), BX
	TESTQ	BX, BX
	JEQ	branch
	MOVQ	AX, 0(BX)
branch:
	MOVQ	96(R12), BX
	TESTQ	AX, AX
	JNE	go
	MOVQ	88(R12), BX
go:
	MOVQ	BX, R12
	JMP	step
spin:
	PAUSE
	MOVQ	0(DI), AX
	TESTQ	AX, AX
	JEQ	spin
	JMP	ok
fail:
	MOVQ	AX, 8(R13)
	MOVQ	R12, 16(R13)
	MOVQ	$1, AX // write
	MOVQ	0(R13), DI
	LEAQ	8(R13), SI
	MOVQ	$24, DX
	SYSCALL
	MOVQ	$231, AX // exit_group
	MOVQ	$127, DI
	SYSCALL
	UNDEF // a seccomp filter may forbid even that

TEXT ·interpEnd(SB), NOSPLIT|NOFRAME, $0
	RET

// func interpreter() (start unsafe.Pointer, size uintptr)
TEXT ·interpreter(SB), NOSPLIT, $0-16
	LEAQ	·interp(SB), AX
	MOVQ	AX, start+0(FP)
	LEAQ	·interpEnd(SB), BX
	SUBQ	AX, BX
	MOVQ	BX, size+8(FP)
	RET

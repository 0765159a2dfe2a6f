; Prints a line on Linux, x86-64.
section .data
    message db "hello", 10
    length  equ $ - message

section .bss
    buffer  resb 64

section .text
    global _start

_start:
    mov rax, 1          ; write
    mov rdi, 1
    mov rsi, message
    mov rdx, length
    syscall
    xor rcx, rcx
.loop:
    inc rcx
    cmp rcx, 10
    jne .loop
    push rbp
    mov rbp, rsp
    pop rbp
    mov rax, 60         ; exit
    xor rdi, rdi
    syscall
    ret

"""`cardhour verify`: re-checks what must always be true."""

# Read by run.sh. The number is the exact count of states stored; a changed model needs a changed pin.
two="-DFAILS=2 -DCRASHES=2"
clean safety 0
clean safety 0 -DTAIL
clean safety 0 -DNEWER
clean safety 0 -DTAIL -DNEWER
clean safety 0 -DCORRUPT
clean safety 0 -DTAIL -DNEWER -DCORRUPT
clean safety 0 $two
clean safety 0 -DTAIL -DCORRUPT $two
clean safety 0 -DNEWER $two
clean safety 0 -DTAIL -DNEWER $two
clean safety 0 -DNEWER -DCORRUPT -DFAILS=2 -DCRASHES=1
clean safety 0 -DTAIL -DNEWER -DCORRUPT -DFAILS=1 -DCRASHES=1
clean live 0 -DHEAL
clean live 0 -DHEAL $two
clean live 0 -DHEAL -DTAIL -DCORRUPT -DFAILS=1 -DCRASHES=1
clean live 0 -DHEAL -DNEWER $two
clean live 0 -DHEAL -DNEWER -DCORRUPT -DFAILS=1 -DCRASHES=1
clean live 0 -DHEAL -DTAIL -DNEWER -DCORRUPT -DFAILS=1
clean live 0 -DHEAL -DSTRAY
clean live 0 -DHEAL -DNEWER -DSTRAY

# Read by run.sh. The number is the exact count of states stored; a changed model needs a changed pin.
two="-DFAILS=2 -DCRASHES=2"
one="-DFAILS=1 -DCRASHES=1"
clean safety 99
clean safety 148 -DTAIL
clean safety 422 -DNEWER
clean safety 745 -DTAIL -DNEWER
clean safety 1566 -DCORRUPT
clean safety 26505 -DTAIL -DNEWER -DCORRUPT
clean safety 17347 $two
clean safety 125137 -DNEWER $two
clean safety 174151 -DTAIL -DNEWER $two
clean safety 918641 -DTAIL -DNEWER -DCORRUPT $one
clean live 710 -DHEAL
clean live 87561 -DHEAL $two
clean live 448011 -DHEAL -DTAIL -DCORRUPT $one
clean live 610510 -DHEAL -DNEWER $two
clean live 708341 -DHEAL -DTAIL -DNEWER -DCORRUPT -DFAILS=1
clean live 1700 -DHEAL -DSTRAY
clean live 6067 -DHEAL -DNEWER -DSTRAY
if [ "$more" = more ]; then
clean safety 491061 -DTAIL -DCORRUPT $two
clean safety 1532058 -DNEWER -DCORRUPT -DFAILS=2 -DCRASHES=1
clean live 2279849 -DHEAL -DNEWER -DCORRUPT $one
clean safety 308710 -DNEWER -DFAILS=3 -DCRASHES=2
clean safety 208722 -DNEWER -DFAILS=2 -DCRASHES=3
clean live 858523 -DHEAL -DTAIL -DNEWER $two
fi

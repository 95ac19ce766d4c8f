"""Commands that the recipe stages run (`python -m espnet2_caresep.bin.NAME`)."""

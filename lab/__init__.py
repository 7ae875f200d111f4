"""The attack lab: attacks as real HTTP, played with every layer, with each layer alone, and with none."""

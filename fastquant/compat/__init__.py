"""Drop-ins for other libraries' quantizers, one module for each: the same names, arguments and defaults, the same
results to the bit. Each module lists where it differs. They import what they stand in for, so nothing is imported here.
"""

"""`kx …`"""
def main(argv=None):
    import sys
    from kx.run import main as run
    return run((argv or sys.argv[1:])[1:])

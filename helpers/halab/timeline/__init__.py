"""One record of a lab on a common clock: pods, endpoints, events, faults, predictions and traffic; and the picture of any of its moments.

``picture`` turns objects into the flat picture that all widgets draw (pure), ``live`` keeps one by watches, ``record`` is the file,
``recorder`` writes it while a lab is open, ``replay`` reads it back (pure).
"""

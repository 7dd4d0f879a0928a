from halab.cluster.scheduler.main import main

main()

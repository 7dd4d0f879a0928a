"""Checks of lab 02: three distinct pods answer, and a deleted one is replaced."""

from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready
from halab.course.vocabulary import not_ready

NAME, WANTED, PORT = "nginx-deployment", 3, 80


def three_answer(scene: Scene) -> Result:
    deployment = scene.get("deployments", NAME)
    if deployment is None:
        loose = [pod["metadata"]["name"] for pod in scene.pods() if not pod["metadata"].get("ownerReferences")]
        why = f"there is no Deployment called {NAME} in this lab's namespace"
        if loose:
            return Failed(
                f"{why}, only bare pods: {', '.join(loose)}",
                "a bare pod is not replaced when it is lost; what kind of object promises a number of replicas?",
            )
        return Failed(why, "did kubectl apply report an error? The API server names the field that it refused")
    asked = deployment["spec"].get("replicas", 1)
    if asked != WANTED:
        return Failed(f"{NAME} asks for {asked} replicas, not {WANTED}", "look at spec.replicas")
    pods = scene.pods_of("deployments", NAME)
    ready = [pod for pod in pods if is_ready(pod)]
    if len(ready) < WANTED:
        return not_ready(pods, WANTED, "kubectl describe pod shows, at its end, what happened to a pod")
    answers = {pod["metadata"]["name"]: scene.ask_pod(pod, PORT) for pod in ready}
    silent = {name: answer for name, answer in answers.items() if not answer.ok}
    if silent:
        name, answer = next(iter(silent.items()))
        return Failed(
            f"{len(silent)} of {len(answers)} pods do not answer on port {PORT}; {name}: {answer}",
            "kubectl logs POD shows what the program printed",
        )
    return Passed(f"{len(answers)} distinct pods answered: {', '.join(sorted(answers))}")


def lost_pod_is_replaced(scene: Scene) -> Result:
    before = three_answer(scene)
    if isinstance(before, Failed):
        return before
    pods = scene.pods_of("deployments", NAME)
    victim = min(pods, key=lambda pod: str(pod["metadata"]["name"]))["metadata"]
    known = {pod["metadata"]["uid"] for pod in pods}
    scene.api.delete("pods", victim["name"])
    ready = scene.wait_for_ready("deployments", NAME, WANTED, timeout=45)
    new = [pod for pod in ready if pod["metadata"]["uid"] not in known]
    if len(ready) != WANTED or not new:
        return Failed(
            f"{victim['name']} was deleted, and 45 s later: {describe_pods(ready)}",
            "which controller watches over these pods? kubectl get replicasets shows what it wants and what it has",
        )
    answer = scene.wait_for_pod_answer(new[0], PORT)
    if not answer.ok:
        return Failed(f"{new[0]['metadata']['name']} took the place of {victim['name']}, but answers: {answer}", "")
    return Passed(f"{victim['name']} was deleted; {new[0]['metadata']['name']} took its place and answers {answer.status}")

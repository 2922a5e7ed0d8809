/** @import { components } from "./schema.js" */
/** A finished image. */
export class Image {
    /** @param {components["schemas"]["Image"]} json */
    constructor(json: components["schemas"]["Image"]);
    /** @readonly */
    readonly index: number;
    /** A PNG file of the model's own size, as the source of an `<img>`. @readonly */
    readonly dataUrl: string;
    /**
     * The bytes of the PNG file.
     *
     * @returns {Uint8Array<ArrayBuffer>}
     */
    get png(): Uint8Array<ArrayBuffer>;
    /** The PNG file. */
    blob(): Blob;
}
/** A generation: its settings, state, and finished images. */
export class Generation {
    /** @param {components["schemas"]["Generation"]} json */
    constructor(json: components["schemas"]["Generation"]);
    /** All that the server answered. @readonly */
    readonly json: {
        alternatives: boolean;
        cancel_on_disconnect: boolean;
        class: string;
        class_index: number;
        count: number;
        created: string;
        detail?: string | null;
        ended?: string | null;
        eta_seconds?: number | null;
        from_step?: number | null;
        guidance: number;
        guidance_steps?: string | null;
        id: string;
        images: components["schemas"]["Image"][];
        index?: number | null;
        links: components["schemas"]["Links"];
        model: string;
        position?: number | null;
        previews: boolean;
        prompt?: string | null;
        seed: number;
        started?: string | null;
        status: components["schemas"]["Status"];
        style?: string | null;
        styles?: string[] | null;
        subjects?: string[] | null;
        temperature: number;
        top_k?: number | null;
        top_p?: number | null;
        unknown_words?: string[] | null;
        warnings?: string[];
    };
    /** @readonly */
    readonly id: string;
    /** @readonly */
    readonly status: "failed" | "completed" | "canceled" | "running" | "queued";
    /** @readonly */
    readonly model: string;
    /** @readonly */
    readonly class: string;
    /** @readonly */
    readonly seed: number;
    /** @readonly */
    readonly count: number;
    /** @readonly */
    readonly prompt: string | undefined;
    /** @readonly */
    readonly style: string | undefined;
    /** Without a style: that of each image. Empty if the model has none. @readonly */
    readonly styles: string[];
    /** Without a prompt: what each image shows. Empty if the model knows no words. @readonly */
    readonly subjects: string[];
    /** Words of the prompt that the model doesn't know. They have no effect. @readonly */
    readonly unknownWords: string[];
    /** @readonly */
    readonly images: Image[];
    /** Why it failed. @readonly */
    readonly detail: string | undefined;
}
import type { components } from "./schema.js";
